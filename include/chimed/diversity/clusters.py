"""Learn clusters of rows from a sample, and find every row's cluster: TF-IDF, singular values, k-means. Ours.

There are √(n / 2) clusters of n distinct rows of the sample (Mardia, Kent and Bibby, Multivariate Analysis, 1979), at
most `MOST`: a rule that needs no look at the rows. One random seed and one thread, so the same sample gives the same
clusters.
"""

import math
from dataclasses import dataclass

import numpy as np
import polars as pl

from chimed.diversity.features import AXES, STEPS, count_pairs, place, rarity, weigh
from chimed.storage.arrays import read_arrays, write_arrays
from chimed.storage.lake import Lake

SAMPLE = 10_000  # rows of each kind from which clusters are learned
FEWEST = 100  # rows; from fewer nothing is learned
MOST = 200  # clusters: more than a person reads
ROUNDS = 4  # of the singular values' power iterations


@dataclass(frozen=True)
class Clusters:
    """rare: how much each pair of letters tells. axes: (features, dimensions). centres: (clusters, dimensions)."""

    rare: np.ndarray
    axes: np.ndarray
    centres: np.ndarray


def number_for(rows: int) -> int:
    """Return how many clusters are looked for among so many distinct rows."""
    return max(1, min(MOST, round(math.sqrt(rows / 2)), rows))


def learn(texts: pl.Series) -> tuple[Clusters, np.ndarray]:
    """Learn clusters of texts (no nulls), and return them with each text's own, -1 where it says nothing.

    Clusters are numbered by their size in the sample, the largest first.
    """
    from sklearn.cluster import KMeans  # here, not above: scikit-learn takes seconds to load
    from sklearn.utils.extmath import randomized_svd
    from threadpoolctl import threadpool_limits

    counts = count_pairs(texts)
    rare = rarity(counts)
    weighed = weigh(counts, rare)
    if not weighed.data.any():  # all are the same, or say nothing: one cluster
        rare = np.ones_like(rare)
        weighed = weigh(counts, rare)
    with threadpool_limits(1):
        dimensions = min(AXES, min(weighed.shape))
        _, _, rows = randomized_svd(weighed, dimensions, n_iter=ROUNDS, random_state=0)
        axes = np.nan_to_num(rows.T).astype(np.float32).astype(np.float64)
        places = place(weighed, axes)
        says = np.flatnonzero(places.any(axis=1))
        points, back = np.unique(places[says], axis=0, return_inverse=True)
        if not len(says):
            return Clusters(rare, axes, np.zeros((0, dimensions))), np.full(len(texts), -1)
        weights = np.bincount(back.ravel())
        found = KMeans(number_for(len(points)), n_init=1, random_state=0).fit(points, sample_weight=weights)
    centres = np.rint(found.cluster_centers_)
    sizes = np.bincount(nearest(places, centres)[says], minlength=len(centres))
    order = np.lexsort((np.arange(len(centres)), -sizes))
    clusters = Clusters(rare, axes, centres[order[sizes[order] > 0]])
    return clusters, nearest(places, clusters.centres)


def nearest(places: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return the number of the nearest centre of each place; -1 where a row says nothing, or there is no centre.

    All are whole numbers, so the products are exact; of equally near centres the first is taken.
    """
    if not len(centres):
        return np.full(len(places), -1)
    scores = 2 * (places @ centres.T) - (centres * centres).sum(axis=1)
    found: np.ndarray = np.where(places.any(axis=1), scores.argmax(axis=1), -1)
    return found


def assign(clusters: Clusters, texts: pl.Series) -> pl.Series:
    """Return the cluster of each text (no nulls), a column `cluster` of Int32; null where a text says nothing."""
    places = place(weigh(count_pairs(texts), clusters.rare), clusters.axes)
    found = pl.Series("cluster", nearest(places, clusters.centres), dtype=pl.Int32)
    return found.replace(-1, None)


def middle(clusters: Clusters, texts: pl.Series, number: int) -> list[int]:
    """Return the places in the column of the texts that are nearest to the middle of each cluster, `number` of each.

    Texts of one cluster follow each other, the clusters in order.
    """
    places = place(weigh(count_pairs(texts), clusters.rare), clusters.axes)
    own = nearest(places, clusters.centres)
    has = np.flatnonzero(own >= 0)
    away = ((places[has] - clusters.centres[own[has]]) ** 2).sum(axis=1) / STEPS**2
    table = pl.DataFrame({"row": has, "own": own[has], "away": np.round(away, 9)}).sort("own", "away", "row")
    return table.group_by("own", maintain_order=True).head(number)["row"].to_list()


# --- in the lake ------------------------------------------------------------------------------------------------


def save(lake: Lake, path: str, clusters: Clusters) -> None:
    """Write clusters as numbers only, in NumPy's own format."""
    parts = {"rare": clusters.rare, "axes": clusters.axes, "centres": clusters.centres}
    write_arrays(lake, path, {name: values.astype(np.float32) for name, values in parts.items()})


def read(lake: Lake, path: str) -> Clusters:
    """Read clusters. Raises FileNotFoundError where none were learned."""
    kept = read_arrays(lake, path)
    return Clusters(*(kept[name].astype(np.float64) for name in ("rare", "axes", "centres")))
