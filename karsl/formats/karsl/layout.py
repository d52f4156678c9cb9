"""stub of owner formats"""
from karsl.errors import ConfigError

SUBSETS: dict[str, range] = {
    "karsl100": range(71, 171),
    "karsl190": range(1, 191),
    "karsl502": range(1, 503),
}


def signs_of_subset(name: str) -> range:
    if name not in SUBSETS:
        raise ConfigError(f"filter_cfg: subset={name!r}; expected one of {', '.join(SUBSETS)}")
    return SUBSETS[name]
