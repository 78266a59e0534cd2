"""Times a few styles of one problem in processes of their own, without pytest and without a record."""
