# syntax=docker/dockerfile:1
# The last stage, `service`, is what `docker build .` makes: the locked dependencies and
# the wheel, nothing else. `--target demo` adds the devkit; that one is never deployed.

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python -m venv /opt/sso-box-api && python -m venv /opt/build
COPY requirements/prod.txt requirements/build.txt requirements/
RUN /opt/sso-box-api/bin/pip install --require-hashes -r requirements/prod.txt \
    && /opt/build/bin/pip install --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md ./
COPY alembic alembic
COPY src/sso_box_api src/sso_box_api
RUN /opt/build/bin/hatchling build -t wheel -d /dist \
    && /opt/sso-box-api/bin/pip install --no-deps --no-index /dist/*.whl

FROM python:3.13-slim AS runtime
# The root file system may be read-only: nothing is written but to standard output.
ENV PATH=/opt/sso-box-api/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
RUN groupadd --gid 10001 sso-box-api \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent \
       --shell /usr/sbin/nologin sso-box-api
COPY --from=build /opt/sso-box-api /opt/sso-box-api
# By number, so that Kubernetes can check runAsNonRoot.
USER 10001:10001
EXPOSE 8000
# Past any proxy of the environment. /livez and not /readyz: a database that is away is
# no reason to restart the process.
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:8000/livez', timeout=2)"]
ENTRYPOINT ["sso-box-api"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]

FROM runtime AS demo
USER 0:0
COPY requirements/dev.txt /tmp/dev.txt
RUN pip install --no-cache-dir --require-hashes -r /tmp/dev.txt \
    && install -d -o 10001 -g 10001 /demo
COPY src/sso_box_devkit /opt/devkit/sso_box_devkit
ENV PYTHONPATH=/opt/devkit
USER 10001:10001

FROM runtime AS service
