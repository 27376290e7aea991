"""What runs beside a collector or as a worker: the timetable, its duties, and the process that holds the statistics."""
