"""A region in which an index that is a tensor is no number. It never is one here: indexing by a tensor is
always a gather.
"""

__all__ = ["TransformGetItemToIndex"]


class TransformGetItemToIndex:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *exception: object) -> None:
        return None
