"""The way to the workers of other machines: Celery over Redis, JSON alone.  Imported only where REDIS_URL is set."""

import hashlib
from pathlib import Path
from typing import Any

import redis
from celery import Celery
from redis.backoff import NoBackoff
from redis.retry import Retry

from engine.errors import QuotaPathError

JOB, SHARD = "quotapath.job", "quotapath.shard"  # the tasks
JOBS = "quotapath.jobs"  # the queue of jobs, a list of that name in Redis

ENGINE = Path(__file__).resolve().parents[1]
_RULES = ("calc/*.py", "money*", "periods*", "errors*")
_AGAIN_AFTER = 3600  # seconds after which Redis gives an unfinished message to somebody else


def rules_hash() -> str:
    """A hash of the code of the pay rules: machines with the same come to the same cents.

    While machines are updated one after the other, shards go to those alone that have the asker's rules.
    """
    digest = hashlib.sha256()
    for path in sorted({path for pattern in _RULES for path in ENGINE.glob(pattern) if path.is_file()}):
        digest.update(path.relative_to(ENGINE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def shards_queue() -> str:
    """The queue of the shards that this code may calculate."""
    return f"quotapath.shards.{rules_hash()}"


def check_url(url: str) -> None:
    """Raise QuotaPathError unless `url` is one of a Redis."""
    if not url.startswith(("redis://", "rediss://")):
        raise QuotaPathError(
            "REDIS_URL is not the address of a Redis. Write it as redis://host:6379/0, or rediss://... with TLS."
        )


def connect(url: str) -> "redis.Redis":
    """A client of that Redis; a lost connection is made anew once."""
    check_url(url)
    return redis.Redis.from_url(
        url, socket_connect_timeout=4, socket_timeout=30, retry=Retry(NoBackoff(), 1), health_check_interval=30
    )


def celery_app(url: str) -> Celery:
    """Celery as both sides use it: messages are acknowledged when their work is done, and name what is in Postgres."""
    check_url(url)
    app = Celery("quotapath", broker=url, set_as_current=False)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,  # state and results stand in Postgres
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        broker_transport_options={
            "visibility_timeout": _AGAIN_AFTER,
            "socket_connect_timeout": 4,
            "socket_timeout": 30,
        },
        broker_connection_timeout=4,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
    )
    return app


def send_job(app: Celery, job_id: str) -> None:
    """Put a job into the queue.  Raises what the network raises."""
    app.send_task(JOB, (job_id,), queue=JOBS, ignore_result=True, retry=False)


def send_shard(app: Celery, queue: str, shard: dict[str, Any]) -> None:
    """Put a shard into the queue of those who have the same rules."""
    app.send_task(SHARD, (shard,), queue=queue, ignore_result=True, retry=False)
