# The image of SQLAlchemyTask's tasks that name none: Python with this distribution and its extras. Nobody publishes it;
# docs/sqlalchemy.md says what to do with it. From this folder, for a registry that your cluster reads:
#
#   docker build --build-arg PYTHON=3.11 --tag registry.example/flytekitplugins-doltdb:py3.11-sqlalchemy-0.1.0 .
ARG PYTHON=3.11
FROM python:${PYTHON}-slim-bookworm

# Flyte puts a workflow's code below its working directory.
WORKDIR /root
ENV PYTHONPATH=/root
# Errors go to the console as text, without a frame around each line.
ENV FLYTE_SDK_RICH_TRACEBACKS=0

COPY LICENSE NOTICE README.md pyproject.toml setup.py /tmp/source/
COPY flytekitplugins /tmp/source/flytekitplugins
RUN pip install --no-cache-dir "/tmp/source[polars,sqlalchemy]"

# A number, because Kubernetes cannot tell by a name that it is not root.
RUN useradd --uid 1000 --create-home flytekit && chown flytekit: /root
USER 1000
