"""The networks that are explained, and the engine that passes inputs through them."""
