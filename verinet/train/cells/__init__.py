"""Exact training of so many units whose weights are few: branch and bound over the cells that their weights can lie in.

The mixed-integer programme of `verinet.train.programme` decides unit by unit and sample by sample; here a relaxation
that is the convex hull of each unit decides most of it at once. It takes all rays of the arrangement of the samples'
hyperplanes, of which there are few enough where features are.
"""

from verinet.train.cells.rays import Rays, find_rays, ray_count
from verinet.train.cells.relaxation import Relaxation
from verinet.train.cells.search import Found, search_cells
from verinet.train.cells.trainer import prepare_cells

__all__ = ["Found", "Rays", "Relaxation", "find_rays", "prepare_cells", "ray_count", "search_cells"]
