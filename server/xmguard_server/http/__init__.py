"""What both HTTP ports are made of: connections, the door, bodies, errors, and calls that are watched over.

Knows no route and no form of a request; those are the live page's, the public port's, and the operator's.
"""
