"""Benchmarks: questions over several sources, of which it is known whether the sources contradict each other."""
