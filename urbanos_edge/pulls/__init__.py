"""What is asked for again and again at devices and services that publish.

`fetching` is one GET, `errands` what is asked of each kind of source, `samples` the means of a
minute, `turns` how one source stands, `pulls` all of them.
"""
