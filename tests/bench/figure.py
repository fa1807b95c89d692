# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the bench has measured: bench.py makes figures and writes them as JSON, tables.py reads them."""

import dataclasses
import statistics


@dataclasses.dataclass
class Figure:
    """One that was measured in rounds, by group."""

    name: str
    unit: str
    values: dict[str, list[float]]

    def median(self, group: str) -> float:
        return statistics.median(self.values[group])

    def ratios(self, group: str) -> list[float]:
        """The first group's in terms of this one's, round by round; none where that is zero, or where
        the group was not measured."""
        if group not in self.values:
            return []
        first = next(iter(self.values.values()))
        return [mine / other for mine, other in zip(first, self.values[group], strict=True) if other]
