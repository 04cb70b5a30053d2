"""Settings of Sphinx, which builds a site from lib/trackpools/docs.

`.ci/run` treats every warning as an error. The site is built and read without a network.
"""

project = "trackpools"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
nitpicky = True
smartquotes = False  # an option must stay --root; smart quotes would print –root
myst_heading_anchors = 3  # links such as sources.md#cold-users
html_theme = "alabaster"
html_theme_options = {
    "description": "From a music service's listening log to candidate pools",
    "font_family": "sans-serif",
    "head_font_family": "sans-serif",
    "page_width": "1240px",
    "body_max_width": "none",
}
html_sidebars = {"**": ["about.html", "searchfield.html", "navigation.html"]}
html_copy_source = False
html_show_copyright = False
html_use_index = False
