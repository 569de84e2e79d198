# The image of the authorization server: docker build --tag authserver .
#
# Nothing here needs a compiler: every package comes as a wheel whose hash is in requirements.txt.
# The result runs as UID 10001 with a read-only root file system; what it writes goes to the volume
# /var/lib/authserver and, where it serves with several processes, to /tmp.

# To pin what is below, build with --build-arg PYTHON_IMAGE=docker.io/library/python@sha256:...
ARG PYTHON_IMAGE=docker.io/library/python:3.13-slim-trixie

FROM ${PYTHON_IMAGE} AS build
COPY requirements.txt /build/requirements.txt
RUN python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check \
       --require-hashes --no-deps --only-binary :all: -r /build/requirements.txt
COPY app.py deploy/container/healthcheck.py /app/
COPY authserver /app/authserver
COPY keys /app/keys
COPY migrations /app/migrations
# Readable by every account and writable by none but root, whatever the umask of the one who builds;
# compiled here, because the running server could not keep what it compiles.
RUN /opt/venv/bin/python -m compileall -q /app \
    && chmod -R u=rwX,go=rX /app /opt/venv \
    && ln -s /var/lib/authserver /app/instance

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="authserver" \
      org.opencontainers.image.description="An OAuth 2.0 authorization server for application credentials"
RUN groupadd --gid 10001 authserver \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/authserver --shell /usr/sbin/nologin authserver \
    && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/authserver
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    AUTHSERVER_BIND=0.0.0.0:8000 \
    AUTHSERVER_DEMO=0
WORKDIR /app
USER 10001:10001
VOLUME /var/lib/authserver
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-I", "/app/healthcheck.py"]
CMD ["python", "app.py"]
