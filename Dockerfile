# Three images from one file, which all run the same `python -m chimed`:
#   docker build --target airflow -t chimed-airflow:0.1.0 .   Airflow's components and workers
#   docker build --target models -t chimed-models:0.1.0 .     one machine's worker for perplexity, training, model servers
#   docker build --target gpu -t chimed-gpu:0.1.0 .           a cluster's GPU pods and vLLM
# .ci/clean_root.py runs every RUN line below in a clean Debian.

FROM apache/airflow:3.3.2-python3.11 AS airflow
COPY requirements-production.txt /requirements.txt
# The file pins apache-airflow too, so that nothing can move it; its hashes come from `make lock`. It is complete, so pip
# resolves nothing (with hashes it refuses extras, as celery[redis]); `pip check` would say what is missing.
RUN pip install --no-cache-dir --no-deps --require-hashes -r /requirements.txt && pip check
# a new volume takes its owner from the folder that it is mounted on
RUN mkdir /opt/airflow/exams
COPY --chown=airflow:root dags /opt/chimed/dags
COPY --chown=airflow:root plugins /opt/chimed/plugins
COPY --chown=airflow:root include /opt/chimed/include
ENV PYTHONPATH=/opt/chimed/include \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/chimed/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/chimed/plugins \
    CHIMED_SCRATCH=/tmp/chimed

# The airflow image with the models' environment beside Airflow's own. It does without a GPU, too.
FROM airflow AS models
USER root
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/* \
    && install --directory --owner=airflow --group=root --mode=0775 /models /opt/chimed/models
USER airflow
COPY requirements-gpu.txt /requirements-models.txt
RUN python -m venv /opt/chimed/models \
    && /opt/chimed/models/bin/pip install --no-cache-dir --no-deps --require-hashes -r /requirements-models.txt
ENV CHIMED_MODELS_PYTHON=/opt/chimed/models/bin/python HF_HOME=/models \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

FROM python:3.11-slim-bookworm AS gpu
# torch's wheels bring CUDA; a compiler is for Triton's kernels, curl for the health check
RUN apt-get update \
    && apt-get install --yes --no-install-recommends curl gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 50000 --gid 0 chimed \
    && install --directory --owner=chimed --group=root --mode=0775 /models
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY requirements-gpu.txt /requirements.txt
# pip leaves bytecode beside what it installs; importing vLLM without it takes three times as long
RUN pip install --no-cache-dir --no-deps --require-hashes -r /requirements.txt
COPY --chown=chimed:root include /opt/chimed/include
ENV PYTHONPATH=/opt/chimed/include CHIMED_MODELS_PYTHON=/usr/local/bin/python CHIMED_SCRATCH=/tmp/chimed HF_HOME=/models
USER chimed
WORKDIR /home/chimed
CMD ["python", "-m", "chimed", "--help"]
