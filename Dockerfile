# QuotaPath: the app (default), or a worker with `python -m engine worker`.  PyPy runs the pay rules.
# Without DATABASE_URL it starts its own PostgreSQL, with the data in the volume /data.
FROM python:3.11-slim-bookworm

RUN apt-get update \
 && apt-get install -y --no-install-recommends pypy3 \
 && rm -rf /var/lib/apt/lists/*

WORKDIR /srv/quotapath
COPY requirements.txt ./
RUN pip install --no-cache-dir --only-binary :all: -r requirements.txt
COPY engine ./engine
COPY app ./app
COPY pages ./pages
COPY data ./data
COPY .streamlit ./.streamlit

RUN useradd --system --home-dir /data --shell /usr/sbin/nologin quotapath \
 && install -d -o quotapath -g quotapath -m 0700 /data \
 && python -m compileall -q engine app pages
USER quotapath
ENV HOST=0.0.0.0 PORT=8501 QUOTAPATH_HOME=/data PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 8501
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/healthz', timeout=4)"]
CMD ["python", "-m", "app.server"]
