# A worker of midflight: docker build -t midflight-worker -f worker.Dockerfile .
FROM python:3.13-slim

RUN apt-get update \
    && apt-get install -y --no-install-recommends git openssh-client \
    && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir "midflight[cluster]"

# Checkouts lie at one path on all workers of a label.
RUN useradd --create-home midflight && install -d -o midflight /srv/midflight
USER midflight
WORKDIR /srv/midflight

ENTRYPOINT ["midflight", "worker", "--work", "/srv/midflight"]
CMD ["--label", "default", "--capacity", "4"]
