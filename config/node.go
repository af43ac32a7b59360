package config

import (
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// last returns the last key of a path, or what stands for none.
func last(path string) string {
	if path == "" {
		return "the file"
	}
	path = path[strings.LastIndexByte(path, '.')+1:]
	if i := strings.IndexByte(path, '['); i > 0 {
		return "an item of " + path[:i]
	}
	return path
}

// kindOf names what a node is, without what it says.
func kindOf(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.IntegerNode:
		return "a number"
	case *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number with a fraction"
	case *ast.BoolNode:
		return "true or false"
	case nil, *ast.NullNode:
		return "nothing"
	default:
		return "text"
	}
}

// nodePlace returns where a node begins.
func nodePlace(n ast.Node) place {
	switch v := n.(type) {
	case nil:
		return place{}
	case *ast.MappingNode:
		if !v.IsFlowStyle && len(v.Values) > 0 {
			return nodePlace(v.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return nodePlace(v.Key)
	}
	t := n.GetToken()
	if t == nil || t.Position == nil {
		return place{}
	}
	return place{line: t.Position.Line, column: max(1, t.Position.Column)}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
