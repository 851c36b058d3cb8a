"""Code generated from protos/xmguard/v1/guard.proto by `make proto`. Never edited; only `xmguard.wire` uses it."""
