"""The demo's input: a year of made-up hourly temperatures of four stations, always the same."""

import csv
import math
import random
from datetime import datetime, timedelta
from pathlib import Path

HOURS = 365 * 24

# mean, swing over the year, swing over the day, noise; degrees Celsius
STATIONS = {
    "coast": (11.0, 6.0, 2.0, 1.2),
    "forest": (9.0, 9.5, 4.5, 1.5),
    "summit": (-1.5, 8.0, 3.0, 2.8),
    "town": (10.5, 10.0, 5.0, 1.4),
}


def write_readings(target: Path) -> int:
    """Write the CSV file and return its number of rows."""
    noise = random.Random(2026)
    first = datetime(2025, 1, 1)
    with target.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["station", "time", "celsius"])
        for station, (mean, year, day, spread) in STATIONS.items():
            for hour in range(HOURS):
                season = -year * math.cos(2 * math.pi * hour / HOURS)
                daily = -day * math.cos(2 * math.pi * (hour % 24 - 3) / 24)
                value = mean + season + daily + noise.gauss(0, spread)
                time = (first + timedelta(hours=hour)).isoformat(timespec="minutes")
                rows.writerow([station, time, f"{value:.1f}"])
    return HOURS * len(STATIONS)
