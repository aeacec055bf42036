"""The book: chapters run with papermill, their records, and the pages rendered from them."""
