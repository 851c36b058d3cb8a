"""The server's public HTTP port: chat completions as the OpenAI API has them, on the same core as gRPC."""
