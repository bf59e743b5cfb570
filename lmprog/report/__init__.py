"""The report page: what compiling changed, what it gained, and how the search went. One HTML file that needs no network."""

from lmprog.report.facts import Clock as Clock
from lmprog.report.facts import Facts as Facts
from lmprog.report.page import render as render
