"""Figures: each module measures one part beside a baseline taken in the same run."""
