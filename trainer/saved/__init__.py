"""Models that somebody saved with Keras or TensorFlow: recognised, judged, loaded in a process of their own.

``formats`` and ``safety`` only read; ``loading`` and ``export`` run in the process (``worker``) that ``child`` starts.
The two sides share ``protocol`` and nothing else: a hostile or broken model takes the child down, not us.
"""
