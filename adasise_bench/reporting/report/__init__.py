"""One self-contained HTML file from run folders: tables, figures, provenance, and every pair to look at."""
