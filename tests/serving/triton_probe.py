"""What an unmodified tritonclient learns of a server; run by the Python that has it. Prints JSON."""

from __future__ import annotations

import json
import sys

import tritonclient.grpc as triton


def main() -> None:
    client = triton.InferenceServerClient(sys.argv[1])
    inputs = [triton.InferInput("x", [1], "BYTES")]
    told = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "models": [client.is_model_ready(name) for name in ("scripted", "another")],
        "versions": [client.is_model_ready("scripted", version) for version in ("", "7")],
        "server": client.get_server_metadata(as_json=True),
    }
    if told["ready"]:
        told["model"] = client.get_model_metadata("scripted", as_json=True)
        for name, call in (
            ("missing", lambda: client.get_model_metadata("another")),
            ("infer", lambda: client.infer("scripted", inputs)),
        ):
            try:
                call()
            except triton.InferenceServerException as error:
                told[name] = [error.status(), error.message()]
    print(json.dumps(told))


if __name__ == "__main__":
    main()
