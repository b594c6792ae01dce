# adasise-bench on a machine with an NVIDIA GPU. This file has not been run: no such machine was at hand.
#
#   docker build -t adasise-bench .
#   docker run --rm --gpus all -v "$PWD/data:/work/data" -v "$PWD/results:/work/results" \
#       -v adasise-cache:/root/.cache adasise-bench run --config table1
#
# The image of PyTorch has torch and torchvision with CUDA, and the host needs NVIDIA's driver and container
# toolkit. On a machine without a GPU the same image works on the CPU, without `--gpus all`.
ARG PYTORCH=2.8.0-cuda12.8-cudnn9-runtime
FROM pytorch/pytorch:${PYTORCH}

WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY adasise_bench adasise_bench
COPY configs configs
RUN pip install --no-cache-dir . && rm -rf /src

# Runs read data/ and write results/ in the working directory, which are mounted.
WORKDIR /work
ENTRYPOINT ["adasise-bench"]
CMD ["--help"]
