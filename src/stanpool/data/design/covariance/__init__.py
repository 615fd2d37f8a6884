"""Known covariances between groups: matrices, trees and pedigrees."""
