"""Terms that are added to any potential with `Sum`, which refuses to add one twice: ZBL repulsion, D3 dispersion."""
