# Two images from one file: the collector with the analysis' jobs (the default), and the demo's chat (--target demo).
# Each runs as a user without rights, from a wheel; nothing of the build is left in it.
FROM python:3.11.14-slim-bookworm AS source
ENV PIP_CONSTRAINT=/src/constraints.txt PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY instrumentation instrumentation
COPY store store
COPY collector collector
COPY analysis analysis
COPY cli cli
COPY examples/chat examples/chat

FROM source AS build-collector
RUN python -m venv /opt/acceptfirst && /opt/acceptfirst/bin/pip install '.[collector,analysis]'

FROM source AS build-demo
RUN python -m venv /opt/acceptfirst && /opt/acceptfirst/bin/pip install '.[demo]'

FROM python:3.11.14-slim-bookworm AS runtime
# Our health check asks this host: a proxy that the engine hands to every container would not find it.
ENV PATH=/opt/acceptfirst/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 NO_PROXY=127.0.0.1 no_proxy=127.0.0.1
RUN groupadd --gid 10001 acceptfirst \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin acceptfirst \
    && install --directory --owner 10001 --group 10001 --mode 0700 /data
# The default data directory lies below it, so that `docker compose exec collector acceptfirst …` finds what runs here.
WORKDIR /data

FROM runtime AS demo
COPY --from=build-demo /opt/acceptfirst /opt/acceptfirst
USER 10001:10001
EXPOSE 8000
ENTRYPOINT ["python", "-m", "acceptfirst_chat"]
CMD ["--host", "0.0.0.0"]

FROM runtime AS collector
COPY --from=build-collector /opt/acceptfirst /opt/acceptfirst
USER 10001:10001
VOLUME /data
EXPOSE 4317 4318
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:4318/readyz', timeout=4)"]
ENTRYPOINT ["acceptfirst"]
# Nothing is reachable from outside until it is told a token: beyond this host, serve refuses to listen without one.
CMD ["serve"]
