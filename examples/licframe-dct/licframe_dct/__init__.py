"""A codec of another kind than licframe's own: 8x8 cosine transforms, no network, no weights.

It shows what a codec needs that is not made of transform, scheduler and entropy model. From below::

    plugin.py   what the package provides, and its options; imports no torch
    blocks.py   a picture to coefficients and back: decoding in whole numbers, so that it is the same everywhere
    symbols.py  coefficients to bytes and back with licframe's range coder; one loop for both
    codec.py    the codec: pictures to .lic files and back

Whoever has the package installed decodes its files with ``licframe decompress photo.lic``: the file names its codec. To
compress takes a profile, here ``dct.toml``::

    pip install examples/licframe-dct
    licframe compress photo.png --profile examples/licframe-dct/dct.toml --bpp 0.5
    licframe bench rd examples/licframe-dct/dct.toml jpeg --images photographs/
"""
