package command

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"weir/config"
	"weir/proxy"
)

// backends returns every backend that a call could be sent to, by name.
func (b *builder) backends() []proxy.Resource {
	if b.file.PassThrough != "" {
		return b.resources()
	}
	var all []proxy.Resource
	for _, name := range slices.Sorted(maps.Keys(b.file.Backends)) {
		if b.file.Serves(name) {
			all = append(all, b.resource(name))
		}
	}
	return all
}

// resources returns the backends that keep files, the preferred first. Without
// models in the configuration it is the one that serves any.
func (b *builder) resources() []proxy.Resource {
	if name := b.file.PassThrough; name != "" {
		return []proxy.Resource{{Name: name, Region: b.file.Backends[name].Region}}
	}
	names := b.file.Files.Backends
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(b.file.Backends))
	}
	var all []proxy.Resource
	for _, name := range names {
		if b.file.Serves(name) { // else no call could be sent there
			all = append(all, b.resource(name))
		}
	}
	return all
}

func (b *builder) resource(name string) proxy.Resource {
	return proxy.Resource{Name: name, Region: b.file.Backends[name].Region, Models: b.file.ModelsOn(name)}
}

// passages returns the paths that are handed on.
func (b *builder) passages() []proxy.Passage {
	var all []proxy.Passage
	for _, p := range b.file.Passages {
		out := proxy.Passage{Path: p.Path, Methods: set(p.Methods), Resource: b.resource(p.Backend), Teams: set(p.Teams)}
		if p.APIVersion != "v1" {
			out.Version = p.APIVersion
		}
		all = append(all, out)
	}
	return all
}

// set returns the names as a set, nil where there are none.
func set(names []string) map[string]bool {
	if len(names) == 0 {
		return nil
	}
	all := map[string]bool{}
	for _, name := range names {
		all[name] = true
	}
	return all
}

// uploads returns how uploads are taken. How much of them is kept is counted over
// reloads.
func (b *builder) uploads() proxy.Uploads {
	s := b.file.Server
	return proxy.Uploads{Dir: s.UploadDir, Max: int64(s.MaxUpload), Disk: int64(s.MaxUploadDisk), Used: &b.state.uploads}
}

// batches reports whether a team may have batches: as is configured, or else where
// no limit that holds would have to count their tokens.
func batches(t config.Team, own proxy.Team) bool {
	if t.Batches != nil {
		return *t.Batches
	}
	counts := func(a proxy.Allowance) bool { return a.Limits.TokensPerMinute > 0 || a.Limits.Budget.Amount > 0 }
	return !counts(own.Own) && !slices.ContainsFunc(slices.Collect(maps.Values(own.Keys)), counts)
}

// writable returns why no file can be made in a directory, nil where one can.
func writable(dir string) error {
	f, err := os.CreateTemp(dir, "weir-upload-")
	if err != nil {
		return fmt.Errorf("making a file: %w", err)
	}
	_ = f.Close() // nothing was written
	_ = os.Remove(f.Name())
	return nil
}
