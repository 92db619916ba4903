"""The map under the sensors: `tileset` reads MBTiles and PMTiles, `osm` makes tiles of an
extract, `basemap` is the one that is installed.
"""
