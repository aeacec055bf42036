"""Symmetrical Distillation Networks: the library that every chapter of the book imports."""
