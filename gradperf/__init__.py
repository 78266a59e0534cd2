"""gradperf: what does this gradient cost, is it right, and did my change make it slower?

A *problem* says what is computed, a *style* how, and a *case* is one problem in one style on one device in one
dtype. Importing this package imports neither numpy nor any framework.
"""
