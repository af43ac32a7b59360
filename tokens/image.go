package tokens

import "math"

// ImageRule is how a model charges an image by its size. A rule with a Tile is
// one of tiles: the image is scaled into 2048 by 2048, then its short side to
// 768, and each tile of 512 by 512 costs Tile. Any other is one of patches of 32
// by 32, of which an image has at most Cap; it is scaled down to that. The zero
// value charges nothing.
type ImageRule struct {
	Base int // once an image; all that a rule of tiles charges at low detail
	Tile int // a tile

	PerMille int // tokens a thousand patches
	High     int // the most patches at high and at low detail
	Cap      int // the most patches at any other detail
}

func tiles(base, tile int) ImageRule { return ImageRule{Base: base, Tile: tile} }

func patches(perMille, high, most int) ImageRule {
	return ImageRule{PerMille: perMille, High: high, Cap: most}
}

// small returns the rule of the small models, which do not look at the detail and
// charge one token more an image, as two pairs of request and usage have it.
func small(perMille int) ImageRule {
	return ImageRule{Base: 1, PerMille: perMille, High: 1536, Cap: 1536}
}

const (
	patch    = 32
	maxTiles = 8    // of 512, after an image is scaled into 2048 by 768
	tileSide = 512  // of a tile
	longSide = 2048 // of a scaled image at most
	tallSide = 768  // of the shorter side at most
)

// Max returns the most that any image costs at that detail: the charge for one
// whose size cannot be known, since nothing is fetched.
func (r ImageRule) Max(detail string) int {
	switch {
	case r.Tile == 0:
		return r.Base + r.patched(r.most(detail))
	case detail == "low":
		return r.Base
	default:
		return r.Base + maxTiles*r.Tile
	}
}

// Tokens returns what an image of that size in pixels costs at that detail. A
// size that is not positive costs the most.
func (r ImageRule) Tokens(width, height int, detail string) int {
	if width <= 0 || height <= 0 {
		return r.Max(detail)
	}
	w, h := float64(width), float64(height)
	if r.Tile == 0 {
		return r.Base + r.patched(cover(w, h, float64(r.most(detail))))
	}
	if detail == "low" {
		return r.Base
	}
	scale := min(1, longSide/max(w, h))
	scale *= min(1, tallSide/(min(w, h)*scale))
	return r.Base + r.Tile*min(maxTiles, ceil(w*scale/tileSide)*ceil(h*scale/tileSide))
}

func (r ImageRule) most(detail string) int {
	if detail == "high" || detail == "low" {
		return r.High
	}
	return r.Cap
}

// patched returns what n patches cost, rounded up.
func (r ImageRule) patched(n int) int { return (n*r.PerMille + 999) / 1000 }

// cover returns how many patches cover an image, which is scaled down until one
// side is a whole number of them and they are at most the last argument.
func cover(w, h, most float64) int {
	n := math.Ceil(w/patch) * math.Ceil(h/patch)
	if n <= most {
		return int(n)
	}
	scale := math.Sqrt(patch * patch * most / (w * h))
	if across, down := w*scale/patch, h*scale/patch; min(across, down) >= 1 {
		scale *= min(math.Floor(across)/across, math.Floor(down)/down)
	}
	return int(min(most, float64(max(1, ceil(w*scale/patch))*max(1, ceil(h*scale/patch)))))
}

// ceil rounds up what is not a whole number but for the error of its computing.
func ceil(f float64) int { return int(math.Ceil(f - 1e-9)) }
