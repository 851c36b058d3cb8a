"""`xmguard mcp`: a served guard as tools of the Model Context Protocol."""
