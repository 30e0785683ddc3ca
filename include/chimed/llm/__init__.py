"""Language models behind OpenAI-compatible servers: client, protocol, prompts, servers, costs (paper §3.2)."""
