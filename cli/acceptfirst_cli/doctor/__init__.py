"""What `acceptfirst doctor` examines: the machine, the place for the data, the network and the store.

Each examination says what it found and, where that is not well, what to do about it. None of them changes anything but
a probe file that it removes again.
"""
