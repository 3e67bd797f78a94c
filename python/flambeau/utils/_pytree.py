"""Trees of Python containers: leaves in order, and the structure without them.

Dicts, lists, tuples, named tuples, OrderedDicts, defaultdicts and deques are nodes, and so is what is
registered; everything else is a leaf.
"""

from __future__ import annotations

import dataclasses
import json
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable
from typing import Any, Callable, NamedTuple, Optional, TypeVar

__all__ = [
    "SUPPORTED_NODES",
    "Context",
    "DumpableContext",
    "FlattenFunc",
    "GetAttrKey",
    "KeyEntry",
    "KeyPath",
    "LeafSpec",
    "MappingKey",
    "NodeDef",
    "PyTree",
    "SequenceKey",
    "TreeSpec",
    "UnflattenFunc",
    "_broadcast_to_and_flatten",
    "_dict_flatten",
    "_dict_flatten_with_keys",
    "_dict_unflatten",
    "_get_node_type",
    "_is_leaf",
    "_register_namedtuple",
    "_register_pytree_node",
    "arg_tree_leaves",
    "keystr",
    "register_constant",
    "register_dataclass",
    "register_pytree_node",
    "tree_all",
    "tree_all_only",
    "tree_any",
    "tree_any_only",
    "tree_flatten",
    "tree_flatten_with_path",
    "tree_iter",
    "tree_leaves",
    "tree_leaves_with_path",
    "tree_map",
    "tree_map_",
    "tree_map_only",
    "tree_map_only_",
    "tree_map_with_path",
    "tree_structure",
    "tree_unflatten",
    "treespec_dumps",
    "treespec_loads",
    "treespec_pprint",
]  # fmt: skip

PyTree = Any
Context = Any
DumpableContext = Any
T = TypeVar("T")
FlattenFunc = Callable[[PyTree], "tuple[list[Any], Context]"]
UnflattenFunc = Callable[[Iterable[Any], Context], PyTree]
_IsLeaf = Optional[Callable[[PyTree], bool]]


@dataclasses.dataclass(frozen=True)
class SequenceKey:
    """A place in a list or tuple."""

    idx: int

    def __str__(self) -> str:
        return f"[{self.idx!r}]"

    def get(self, sequence: Any) -> Any:
        return sequence[self.idx]


@dataclasses.dataclass(frozen=True)
class MappingKey:
    """A place in a dict."""

    key: Any

    def __str__(self) -> str:
        return f"[{self.key!r}]"

    def get(self, mapping: Any) -> Any:
        return mapping[self.key]


@dataclasses.dataclass(frozen=True)
class GetAttrKey:
    """An attribute."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"

    def get(self, obj: Any) -> Any:
        return getattr(obj, self.name)


KeyEntry = Any
KeyPath = tuple


def keystr(kp: Iterable[Any]) -> str:
    return "".join(str(key) for key in kp)


class NodeDef(NamedTuple):
    """How a type of nodes comes apart and together."""

    type: type
    flatten_fn: FlattenFunc
    unflatten_fn: UnflattenFunc
    flatten_with_keys_fn: Callable[[PyTree], tuple[list[tuple[Any, Any]], Context]] | None
    serialized_type_name: str | None
    to_dumpable_context: Callable[[Context], Any] | None
    from_dumpable_context: Callable[[Any], Context] | None


#: The types of nodes.
SUPPORTED_NODES: dict[type, NodeDef] = {}


def register_pytree_node(
    cls: type,
    flatten_fn: FlattenFunc,
    unflatten_fn: UnflattenFunc,
    *,
    serialized_type_name: str | None = None,
    to_dumpable_context: Callable[[Context], Any] | None = None,
    from_dumpable_context: Callable[[Any], Context] | None = None,
    flatten_with_keys_fn: Callable[[PyTree], Any] | None = None,
) -> None:
    """Makes objects of `cls` nodes. ValueError if they are."""
    if cls in SUPPORTED_NODES:
        raise ValueError(f"{cls} is already registered as pytree node.")
    if (to_dumpable_context is None) != (from_dumpable_context is None):
        raise ValueError(
            f"Both to_dumpable_context and from_dumpable_context for {cls} must be None or registered."
        )
    SUPPORTED_NODES[cls] = NodeDef(
        cls, flatten_fn, unflatten_fn, flatten_with_keys_fn, serialized_type_name,
        to_dumpable_context, from_dumpable_context,
    )  # fmt: skip


def _register_pytree_node(
    cls: type, flatten_fn: FlattenFunc, unflatten_fn: UnflattenFunc, **options: Any
) -> None:
    """register_pytree_node, as it was called before; what is registered is replaced."""
    SUPPORTED_NODES.pop(cls, None)
    register_pytree_node(cls, flatten_fn, unflatten_fn, **options)


def _register_namedtuple(cls: type, *, serialized_type_name: str) -> None:
    node = SUPPORTED_NODES[namedtuple_type]
    SUPPORTED_NODES[cls] = node._replace(type=cls, serialized_type_name=serialized_type_name)


def register_dataclass(
    cls: type,
    *,
    field_names: list[str] | None = None,
    drop_field_names: Any = None,
    serialized_type_name: str | None = None,
) -> None:
    """Makes objects of a dataclass nodes, whose children are their fields."""
    names = field_names or [field.name for field in dataclasses.fields(cls) if field.init]
    names = [name for name in names if name not in (drop_field_names or ())]

    def flatten(obj: Any) -> tuple[list[Any], Any]:
        present = [name for name in names if getattr(obj, name) is not None]
        missing = [name for name in names if getattr(obj, name) is None]
        return [getattr(obj, name) for name in present], [present, missing]

    def unflatten(values: Iterable[Any], context: Any) -> Any:
        present, missing = context
        return cls(**dict(zip(present, values)), **dict.fromkeys(missing))

    def flatten_with_keys(obj: Any) -> Any:
        values, context = flatten(obj)
        return [(GetAttrKey(name), value) for name, value in zip(context[0], values)], context

    register_pytree_node(
        cls,
        flatten,
        unflatten,
        serialized_type_name=serialized_type_name,
        flatten_with_keys_fn=flatten_with_keys,
    )


def register_constant(cls: type) -> None:
    """Makes objects of `cls` nodes without children: part of the structure."""
    register_pytree_node(
        cls, lambda obj: ([], obj), lambda _, obj: obj, flatten_with_keys_fn=lambda obj: ([], obj)
    )


# ---- the nodes that Python has -------------------------------------------------------------------


def _list_flatten(d: list[Any]) -> tuple[list[Any], Context]:
    return d, None


def _list_unflatten(values: Iterable[Any], context: Context) -> list[Any]:
    return list(values)


def _sequence_flatten_with_keys(d: Any) -> tuple[list[tuple[Any, Any]], Context]:
    values, context = SUPPORTED_NODES[_get_node_type(d)].flatten_fn(d)
    return [(SequenceKey(index), value) for index, value in enumerate(values)], context


def _tuple_flatten(d: tuple[Any, ...]) -> tuple[list[Any], Context]:
    return list(d), None


def _tuple_unflatten(values: Iterable[Any], context: Context) -> tuple[Any, ...]:
    return tuple(values)


def _namedtuple_flatten(d: Any) -> tuple[list[Any], Context]:
    return list(d), type(d)


def _namedtuple_unflatten(values: Iterable[Any], context: Context) -> Any:
    return context(*values)


def _namedtuple_flatten_with_keys(d: Any) -> tuple[list[tuple[Any, Any]], Context]:
    return [(GetAttrKey(name), value) for name, value in zip(d._fields, d)], type(d)


def _dict_flatten(d: dict[Any, Any]) -> tuple[list[Any], Context]:
    return list(d.values()), list(d)


def _dict_unflatten(values: Iterable[Any], context: Context) -> dict[Any, Any]:
    return dict(zip(context, values))


def _dict_flatten_with_keys(d: dict[Any, Any]) -> tuple[list[tuple[Any, Any]], Context]:
    return [(MappingKey(key), value) for key, value in d.items()], list(d)


def _ordereddict_unflatten(values: Iterable[Any], context: Context) -> Any:
    return OrderedDict(zip(context, values))


def _defaultdict_flatten(d: Any) -> tuple[list[Any], Context]:
    return list(d.values()), [d.default_factory, list(d)]


def _defaultdict_unflatten(values: Iterable[Any], context: Context) -> Any:
    return defaultdict(context[0], zip(context[1], values))


def _defaultdict_flatten_with_keys(d: Any) -> tuple[list[tuple[Any, Any]], Context]:
    return [(MappingKey(key), value) for key, value in d.items()], [d.default_factory, list(d)]


def _deque_flatten(d: Any) -> tuple[list[Any], Context]:
    return list(d), d.maxlen


def _deque_unflatten(values: Iterable[Any], context: Context) -> Any:
    return deque(values, maxlen=context)


class namedtuple_type:
    """Stands for all named tuples among the types of nodes."""


_add = register_pytree_node
_add(
    list,
    _list_flatten,
    _list_unflatten,
    serialized_type_name="builtins.list",
    flatten_with_keys_fn=_sequence_flatten_with_keys,
)
_add(
    tuple,
    _tuple_flatten,
    _tuple_unflatten,
    serialized_type_name="builtins.tuple",
    flatten_with_keys_fn=_sequence_flatten_with_keys,
)
_add(
    dict,
    _dict_flatten,
    _dict_unflatten,
    serialized_type_name="builtins.dict",
    flatten_with_keys_fn=_dict_flatten_with_keys,
)
_add(
    namedtuple_type,
    _namedtuple_flatten,
    _namedtuple_unflatten,
    serialized_type_name="collections.namedtuple",
    flatten_with_keys_fn=_namedtuple_flatten_with_keys,
)
_add(
    OrderedDict,
    _dict_flatten,
    _ordereddict_unflatten,
    serialized_type_name="collections.OrderedDict",
    flatten_with_keys_fn=_dict_flatten_with_keys,
)
_add(
    defaultdict,
    _defaultdict_flatten,
    _defaultdict_unflatten,
    serialized_type_name="collections.defaultdict",
    flatten_with_keys_fn=_defaultdict_flatten_with_keys,
)
_add(
    deque,
    _deque_flatten,
    _deque_unflatten,
    serialized_type_name="collections.deque",
    flatten_with_keys_fn=_sequence_flatten_with_keys,
)


def _is_namedtuple(tree: Any) -> bool:
    return (
        isinstance(tree, tuple)
        and hasattr(type(tree), "_fields")
        and type(tree).__bases__ == (tuple,)
    )


def _get_node_type(tree: Any) -> Any:
    kind = type(tree)
    if kind not in SUPPORTED_NODES and isinstance(tree, tuple):
        if _is_namedtuple(tree):
            return namedtuple_type
        if kind.__module__.endswith("return_types"):
            _register_named_results(kind)
    return kind


def _register_named_results(kind: Any) -> None:
    """The class of an operation's results, such as torch.return_types.max, at its first use."""
    SUPPORTED_NODES[kind] = SUPPORTED_NODES[tuple]._replace(
        type=kind, unflatten_fn=lambda values, _: kind(values), serialized_type_name=None
    )


def take_apart(tree: Any) -> tuple[list[Any], tuple[type, Context], UnflattenFunc] | None:
    """The children of a node, what else tells it from others, and how it is put together from
    (children, context); None of a leaf.
    """
    node = SUPPORTED_NODES.get(_get_node_type(tree))
    if node is None:
        return None
    children, context = node.flatten_fn(tree)
    return list(children), (type(tree), context), node.unflatten_fn


def _is_leaf(tree: PyTree, is_leaf: _IsLeaf = None) -> bool:
    return (is_leaf is not None and is_leaf(tree)) or _get_node_type(tree) not in SUPPORTED_NODES


# ---- structures ----------------------------------------------------------------------------------


class TreeSpec:
    """The structure of a tree: its type, its context, and the structures of its children."""

    def __init__(self, type: Any, context: Context, children_specs: list[TreeSpec]) -> None:
        self.type = type
        self.context = context
        self.children_specs = children_specs
        self.num_children = len(children_specs)
        self.num_nodes: int = 1 + sum(spec.num_nodes for spec in children_specs)
        self.num_leaves: int = sum(spec.num_leaves for spec in children_specs)

    def is_leaf(self) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, TreeSpec)
            and self.type is other.type
            and self.context == other.context
            and self.children_specs == other.children_specs
        )

    def __hash__(self) -> int:
        return hash((self.type, repr(self.context), tuple(self.children_specs)))

    def __repr__(self, indent: int = 0) -> str:
        children = ", ".join(repr(spec) for spec in self.children_specs)
        return (
            f"TreeSpec({getattr(self.type, '__name__', self.type)}, {self.context}, [{children}])"
        )

    def unflatten(self, leaves: Iterable[Any]) -> PyTree:
        return tree_unflatten(leaves, self)

    def flatten_up_to(self, tree: PyTree) -> list[PyTree]:
        """The parts of `tree` where this structure has leaves. ValueError if they differ above."""
        found: list[PyTree] = []
        _flatten_up_to(self, tree, found)
        return found


class LeafSpec(TreeSpec):
    """The structure of a leaf."""

    def __init__(self) -> None:
        super().__init__(None, None, [])
        self.num_leaves = 1

    def is_leaf(self) -> bool:
        return True

    def __repr__(self, indent: int = 0) -> str:
        return "*"


def _flatten_up_to(spec: TreeSpec, tree: PyTree, found: list[PyTree]) -> None:
    if spec.is_leaf():
        found.append(tree)
        return
    kind = _get_node_type(tree)
    if kind is not spec.type:
        raise ValueError(f"Type mismatch; expected {spec.type!r}, but got {kind!r}.")
    children, context = SUPPORTED_NODES[kind].flatten_fn(tree)
    if len(children) != spec.num_children:
        raise ValueError(
            f"Node arity mismatch; expected {spec.num_children}, but got {len(children)}."
        )
    if issubclass(kind, dict) and context != spec.context:
        if set(tree) != set(_keys(spec)):
            raise ValueError(f"Node keys mismatch; expected {_keys(spec)}, but got {list(tree)}.")
        children = [tree[key] for key in _keys(spec)]
    elif context != spec.context and kind is not deque:
        raise ValueError(f"Node context mismatch for node type {kind!r}.")
    for child, child_spec in zip(children, spec.children_specs):
        _flatten_up_to(child_spec, child, found)


def _keys(spec: TreeSpec) -> list[Any]:
    return spec.context[1] if spec.type is defaultdict else spec.context


def _flatten(tree: PyTree, leaves: list[Any], is_leaf: _IsLeaf) -> TreeSpec:
    kind = _get_node_type(tree)
    if kind not in SUPPORTED_NODES or (is_leaf is not None and is_leaf(tree)):
        leaves.append(tree)
        return LeafSpec()
    children, context = SUPPORTED_NODES[kind].flatten_fn(tree)
    return TreeSpec(kind, context, [_flatten(child, leaves, is_leaf) for child in children])


def tree_flatten(tree: PyTree, is_leaf: _IsLeaf = None) -> tuple[list[Any], TreeSpec]:
    """The leaves in order, and the structure."""
    leaves: list[Any] = []
    spec = _flatten(tree, leaves, is_leaf)
    return leaves, spec


def tree_unflatten(leaves: Iterable[Any], treespec: TreeSpec) -> PyTree:
    """The tree of this structure with these leaves. ValueError for a wrong number of them."""
    if not isinstance(treespec, TreeSpec):
        raise TypeError(
            "tree_unflatten(leaves, treespec): Expected `treespec` to be instance of TreeSpec but "
            f"got item of type {type(treespec)}."
        )
    given = list(leaves)
    if len(given) != treespec.num_leaves:
        raise ValueError(
            f"tree_unflatten(leaves, treespec): `leaves` has length {len(given)} but the spec refers "
            f"to a pytree that holds {treespec.num_leaves} items ({treespec})."
        )
    return _unflatten(treespec, iter(given))


def _unflatten(spec: TreeSpec, leaves: Any) -> PyTree:
    if spec.is_leaf():
        return next(leaves)
    children = [_unflatten(child, leaves) for child in spec.children_specs]
    return SUPPORTED_NODES[spec.type].unflatten_fn(children, spec.context)


def tree_leaves(tree: PyTree, is_leaf: _IsLeaf = None) -> list[Any]:
    return tree_flatten(tree, is_leaf)[0]


def tree_iter(tree: PyTree, is_leaf: _IsLeaf = None) -> Iterable[Any]:
    return iter(tree_leaves(tree, is_leaf))


def tree_structure(tree: PyTree, is_leaf: _IsLeaf = None) -> TreeSpec:
    return tree_flatten(tree, is_leaf)[1]


def arg_tree_leaves(*args: PyTree, **kwargs: PyTree) -> list[Any]:
    return tree_leaves((args, kwargs))


def tree_map(
    func: Callable[..., Any], tree: PyTree, *rests: PyTree, is_leaf: _IsLeaf = None
) -> PyTree:
    """The tree whose leaves are `func` of those of `tree` and of the parts of `rests` there."""
    leaves, spec = tree_flatten(tree, is_leaf)
    flat = [leaves, *(spec.flatten_up_to(rest) for rest in rests)]
    return spec.unflatten(func(*values) for values in zip(*flat))


def tree_map_(
    func: Callable[..., Any], tree: PyTree, *rests: PyTree, is_leaf: _IsLeaf = None
) -> PyTree:
    """Calls `func` as tree_map does, for its effects; gives `tree`."""
    tree_map(func, tree, *rests, is_leaf=is_leaf)
    return tree


def _only(kinds: Any, func: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def mapped(value: Any) -> Any:
        chosen = isinstance(value, kinds) if isinstance(kinds, (type, tuple)) else kinds(value)
        return func(value) if chosen else value

    return mapped


def tree_map_only(
    kinds: Any, func: Any = None, tree: PyTree = None, is_leaf: _IsLeaf = None
) -> PyTree:
    """tree_map of the leaves of some types; the others stay."""
    return tree_map(_only(kinds, func), tree, is_leaf=is_leaf)


def tree_map_only_(kinds: Any, func: Any, tree: PyTree, is_leaf: _IsLeaf = None) -> PyTree:
    return tree_map_(_only(kinds, func), tree, is_leaf=is_leaf)


def tree_all(pred: Callable[[Any], bool], tree: PyTree, is_leaf: _IsLeaf = None) -> bool:
    return all(pred(leaf) for leaf in tree_leaves(tree, is_leaf))


def tree_any(pred: Callable[[Any], bool], tree: PyTree, is_leaf: _IsLeaf = None) -> bool:
    return any(pred(leaf) for leaf in tree_leaves(tree, is_leaf))


def tree_all_only(
    kinds: Any, pred: Callable[[Any], bool], tree: PyTree, is_leaf: _IsLeaf = None
) -> bool:
    return all(pred(leaf) for leaf in tree_leaves(tree, is_leaf) if isinstance(leaf, kinds))


def tree_any_only(
    kinds: Any, pred: Callable[[Any], bool], tree: PyTree, is_leaf: _IsLeaf = None
) -> bool:
    return any(pred(leaf) for leaf in tree_leaves(tree, is_leaf) if isinstance(leaf, kinds))


# ---- paths ---------------------------------------------------------------------------------------


def _with_path(path: tuple[Any, ...], tree: PyTree, is_leaf: _IsLeaf, found: list[Any]) -> None:
    kind = _get_node_type(tree)
    if kind not in SUPPORTED_NODES or (is_leaf is not None and is_leaf(tree)):
        found.append((path, tree))
        return
    flatten = SUPPORTED_NODES[kind].flatten_with_keys_fn
    if flatten is None:
        raise ValueError(f"Did not find a flatten_with_keys_fn for type: {kind}.")
    for key, child in flatten(tree)[0]:
        _with_path((*path, key), child, is_leaf, found)


def tree_leaves_with_path(tree: PyTree, is_leaf: _IsLeaf = None) -> list[tuple[KeyPath, Any]]:
    found: list[Any] = []
    _with_path((), tree, is_leaf, found)
    return found


def tree_flatten_with_path(
    tree: PyTree, is_leaf: _IsLeaf = None
) -> tuple[list[tuple[KeyPath, Any]], TreeSpec]:
    return tree_leaves_with_path(tree, is_leaf), tree_structure(tree, is_leaf)


def tree_map_with_path(
    func: Callable[..., Any], tree: PyTree, *rests: PyTree, is_leaf: _IsLeaf = None
) -> PyTree:
    """tree_map, whose `func` is told the path of each leaf, too."""
    pairs, spec = tree_flatten_with_path(tree, is_leaf)
    flat = [*zip(*pairs), *(spec.flatten_up_to(rest) for rest in rests)] if pairs else []
    return spec.unflatten(func(*values) for values in zip(*flat))


def _broadcast_to_and_flatten(
    tree: PyTree, treespec: TreeSpec, is_leaf: _IsLeaf = None
) -> list[Any] | None:
    """The leaves of `tree`, each as often as the part of `treespec` at its place has leaves; None if the
    structures differ."""
    if _is_leaf(tree, is_leaf):
        return [tree] * treespec.num_leaves
    if treespec.is_leaf() or _get_node_type(tree) is not treespec.type:
        return None
    children, context = SUPPORTED_NODES[treespec.type].flatten_fn(tree)
    if len(children) != treespec.num_children or context != treespec.context:
        return None
    result: list[Any] = []
    for child, spec in zip(children, treespec.children_specs):
        leaves = _broadcast_to_and_flatten(child, spec, is_leaf)
        if leaves is None:
            return None
        result += leaves
    return result


# ---- structures as text --------------------------------------------------------------------------


def treespec_dumps(treespec: TreeSpec, protocol: int | None = None) -> str:
    """The structure as JSON. NotImplementedError where a type was registered without a name."""
    return json.dumps([1, _dumpable(treespec)])


def _dumpable(spec: TreeSpec) -> dict[str, Any]:
    if spec.is_leaf():
        return {"type": None, "context": None, "children_spec": []}
    node = SUPPORTED_NODES[spec.type]
    if node.serialized_type_name is None:
        raise NotImplementedError(
            f"No registered serialization name for {spec.type} found. Please update your "
            "_register_pytree_node call with a `serialized_type_name` kwarg."
        )
    context = spec.context
    if node.to_dumpable_context is not None:
        context = node.to_dumpable_context(context)
    elif spec.type in (namedtuple_type, defaultdict):
        raise NotImplementedError(f"The context of {node.serialized_type_name} has no text form")
    else:
        context = json.dumps(context)
    children = [_dumpable(child) for child in spec.children_specs]
    return {"type": node.serialized_type_name, "context": context, "children_spec": children}


def treespec_loads(serialized: str) -> TreeSpec:
    """What treespec_dumps wrote."""
    protocol, value = json.loads(serialized)
    if protocol != 1:
        raise ValueError(f"Unknown protocol {protocol}. Available protocols: [1]")
    types = {node.serialized_type_name: kind for kind, node in SUPPORTED_NODES.items()}
    return _loaded(value, types)


def _loaded(value: dict[str, Any], types: dict[str | None, type]) -> TreeSpec:
    if value["type"] is None:
        return LeafSpec()
    kind = types[value["type"]]
    node, context = SUPPORTED_NODES[kind], value["context"]
    read = json.loads if node.from_dumpable_context is None else node.from_dumpable_context
    children = [_loaded(child, types) for child in value["children_spec"]]
    return TreeSpec(kind, read(context), children)


def treespec_pprint(treespec: TreeSpec) -> str:
    return repr(treespec)
