// Package config is the configuration file as written, and every fault in it
// at once.
//
// A fault is a Problem with a place and a mend; a configuration with an error
// is never returned. Nothing here reads the environment, a file or a clock but
// through the Options it is given, time zones apart, which Go itself knows, and no
// text it makes holds a secret.
package config

import (
	"cmp"
	_ "embed" // for the schema
	"errors"
	"io/fs"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/goccy/go-yaml/ast"
)

//go:generate go test -run TestGenerated -update .

//go:embed schema.json
var schema []byte

const (
	maxFile     = 1 << 20 // the largest file that is read, in bytes
	maxProblems = 200     // the most that are reported
)

// Options are what reading a configuration needs of the world.
type Options struct {
	Getenv   func(string) (string, bool)  // os.LookupEnv; nil: no variable is set
	ReadFile func(string) ([]byte, error) // os.ReadFile; nil: no file can be read
	Now      time.Time                    // for keys that have expired; zero: none has

	// Writable returns why no file can be made in a directory, nil where one can; ""
	// is the system's temporary one. Nil: all directories count as writable.
	Writable func(dir string) error

	// KnownModel returns the context window of a base model, if the gateway
	// knows it; 0 is a window that it does not know. Nil: every base model
	// counts as known.
	KnownModel func(base string) (contextWindow int, ok bool)

	// KnownPrice reports whether the gateway knows what the tokens of a base
	// model cost. Nil: every price counts as known.
	KnownPrice func(base string) bool
}

// Schema returns the JSON schema of the file, draft 2020-12. The caller may
// change the bytes.
func Schema() []byte { return slices.Clone(schema) }

// Load reads the file at path and checks it. The File is nil where any of the
// problems is an Error. The problems are in the order of the file.
func Load(path string, o Options) (*File, []Problem) {
	r := newReader(path, o)
	data, err := r.readFile(path)
	if err == nil {
		return Parse(path, data, o)
	}
	hint := ""
	if errors.Is(err, fs.ErrNotExist) {
		hint = "name the file with -c or WEIR_CONFIG"
	}
	r.fault("", codeUnreadable, "the file cannot be read: "+reason(err), hint)
	return r.result(nil)
}

// Parse checks data as a configuration file called name. It is Load without
// the reading.
func Parse(name string, data []byte, o Options) (*File, []Problem) {
	r := newReader(name, o)
	root, ok := r.parse(data)
	if !ok {
		return r.result(nil)
	}
	f := new(File)
	r.decode(root, reflect.ValueOf(f).Elem(), field{global: true})
	switch root.(type) {
	case nil, *ast.MappingNode, *ast.MappingValueNode:
		r.check(f)
	default: // nothing in it can be told
	}
	return r.result(f)
}

// reader goes once over a configuration and gathers what is wrong with it.
type reader struct {
	opts     Options
	file     string
	source   source
	places   map[string]place // by path
	problems []Problem
	errors   int
	dangling bool // a reference leads nowhere, so what seems unused may be meant
}

// place is where a value was written. The zero place is nowhere.
type place struct {
	file         string // or the environment variable
	line, column int    // from 1; 0 in a variable
	raw          string // the text as written, where it was expanded
	expanded     bool   // the value is not what was written
	hidden       bool   // the value is a secret, or may hold one
}

func newReader(file string, o Options) *reader {
	return &reader{opts: o, file: file, places: map[string]place{}}
}

// fault notes a problem at the value of path, or at the nearest thing above it
// that was written.
func (r *reader) fault(path, code, message, hint string) {
	r.faultAt(r.nearest(path), Problem{Code: code, Path: path, Message: message, Hint: hint})
}

func (r *reader) faultAt(at place, p Problem) {
	if p.Code[0] == 'W' {
		p.Severity = Warning
	} else {
		r.errors++
	}
	p.File, p.Line, p.Column = cmp.Or(at.file, r.file), at.line, at.column
	r.problems = append(r.problems, p)
}

// nearest returns the place of path, or of the nearest path above it.
func (r *reader) nearest(path string) place {
	for path != "" {
		if at, ok := r.places[path]; ok {
			return at
		}
		path = parent(path)
	}
	return place{}
}

// parent cuts the last step off a path.
func parent(path string) string {
	for i := len(path) - 1; i > 0; i-- {
		if path[i] == '.' || path[i] == '[' {
			return path[:i]
		}
	}
	return ""
}

// result sorts the problems, gives each its snippet, and withholds f where one
// of them is an error.
func (r *reader) result(f *File) (*File, []Problem) {
	slices.SortStableFunc(r.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if more := len(r.problems) - maxProblems; more > 0 {
		r.problems = append(r.problems[:maxProblems:maxProblems], Problem{
			Code: codeSyntax, File: r.file, Message: "and " + strconv.Itoa(more) + " more problems",
		})
	}
	for i, p := range r.problems {
		r.problems[i].Snippet = r.source.snippet(p.Line, p.Column)
	}
	if r.errors > 0 {
		f = nil
	}
	return f, r.problems
}

func (r *reader) readFile(path string) ([]byte, error) {
	if r.opts.ReadFile == nil {
		return nil, errors.New("no file can be read here")
	}
	return r.opts.ReadFile(path)
}

func (r *reader) getenv(name string) (string, bool) {
	if r.opts.Getenv == nil {
		return "", false
	}
	return r.opts.Getenv(name)
}

// reason returns what an error of the file system says, without the path.
func reason(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}
