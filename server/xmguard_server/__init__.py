"""The gRPC server around a guard: admission, errors, metrics, lifecycle. Knows nothing of models or verdicts."""
