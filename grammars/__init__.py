"""Tool schemas to constraint text: GBNF, Lark and regular expressions. Knows no model and no token."""
