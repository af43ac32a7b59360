package dashboard

import (
	"encoding/json"
	"math"
	"strconv"
)

// points are the values of a plot. NaN is none.
type points []float64

// MarshalJSON implements json.Marshaler.
func (p points) MarshalJSON() ([]byte, error) {
	out := make([]byte, 0, 2+6*len(p))
	out = append(out, '[')
	for i, x := range p {
		if i > 0 {
			out = append(out, ',')
		}
		if math.IsNaN(x) || math.IsInf(x, 0) {
			out = append(out, "null"...)
			continue
		}
		out = strconv.AppendFloat(out, rounded(x), 'f', -1, 64)
	}
	return append(out, ']'), nil
}

var _ json.Marshaler = points(nil)
