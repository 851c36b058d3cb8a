"""Fine-tuning on instances that mix modalities: data, training, checkpoints and the experiment around them.

`recipe` says what is wanted, `building` makes the data of it. Importing this package loads nothing.
"""
