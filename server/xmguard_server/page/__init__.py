"""The live page of the admin port: sources and a question in, the answer, the verdict and what each source weighed out.

Static files for a browser, and the three routes that they read. Knows no model; asks as every other interface does.
"""
