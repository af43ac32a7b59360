package proxy

import (
	"bytes"
	"encoding/binary"
	"io"
	"time"
)

// slowest is how many bytes a second of sound takes at least, where nothing tells:
// speech in Opus, whose specification advises 16 kbit/s and more.
const slowest = 2000

// longest is as long as a file of sound is ever taken to be.
const longest = 24 * time.Hour

// soundLength returns how long sound plays: what a WAV, MP3 or MP4 file says of
// itself, and else the most that its size lets expect.
func soundLength(src io.ReaderAt, size int64) time.Duration {
	head := make([]byte, 64)
	n, _ := src.ReadAt(head, 0) // what is not there tells nothing
	head = head[:n]
	var length time.Duration
	switch {
	case size <= 0:
		return 0
	case n >= 12 && string(head[:4]) == "RIFF" && string(head[8:12]) == "WAVE":
		length = waveLength(src, size)
	case n >= 12 && string(head[4:8]) == "ftyp":
		length = movieLength(src, size)
	default:
		length = layerLength(src, size, head)
	}
	if length <= 0 {
		length = played(size, slowest)
	}
	return min(length, longest)
}

// played returns how long so many units play, of which each second has rate; 0 where
// that cannot be told.
func played(units, rate int64) time.Duration {
	if rate <= 0 || units <= 0 {
		return 0
	}
	seconds := float64(units) / float64(rate)
	return time.Duration(min(seconds, longest.Seconds()) * float64(time.Second))
}

// waveLength walks the chunks of a WAV file to its format and its data.
func waveLength(src io.ReaderAt, size int64) time.Duration {
	rate := int64(0)
	at := int64(12)
	for range 64 {
		var chunk [24]byte
		if n, _ := src.ReadAt(chunk[:], at); n < 8 {
			break
		}
		length := int64(binary.LittleEndian.Uint32(chunk[4:]))
		at += 8
		switch string(chunk[:4]) {
		case "fmt ":
			// What the bytes of a second come to is computed, as decoders do.
			rate = int64(binary.LittleEndian.Uint32(chunk[12:])) * int64(binary.LittleEndian.Uint16(chunk[20:]))
		case "data":
			return played(min(length, size-at), rate)
		}
		at += length + length%2
	}
	return 0
}

// movieLength walks the boxes of an MP4 file to its length.
func movieLength(src io.ReaderAt, size int64) time.Duration {
	at, end := int64(0), size
	for range 256 {
		var box [40]byte
		n, _ := src.ReadAt(box[:], at)
		if n < 16 || at >= end {
			break
		}
		length, inside := int64(binary.BigEndian.Uint32(box[:])), int64(8)
		if length == 1 {
			length, inside = int64(binary.BigEndian.Uint64(box[8:])&(1<<40-1)), 16
		}
		switch kind := string(box[4:8]); {
		case kind == "moov":
			at, end = at+inside, min(end, at+max(length, inside))
			continue
		case kind == "mvhd" && n == len(box) && box[8] == 1:
			return played(int64(binary.BigEndian.Uint64(box[32:])&(1<<62-1)), int64(binary.BigEndian.Uint32(box[28:])))
		case kind == "mvhd" && n == len(box):
			return played(int64(binary.BigEndian.Uint32(box[24:])), int64(binary.BigEndian.Uint32(box[20:])))
		case length < inside:
			return 0
		}
		at += length
	}
	return 0
}

// layerLength takes an MP3 file to keep the bit rate that it begins with.
func layerLength(src io.ReaderAt, size int64, head []byte) time.Duration {
	at := int64(0)
	if len(head) >= 10 && bytes.HasPrefix(head, []byte("ID3")) {
		at = 10 + int64(head[6]&0x7f)<<21 + int64(head[7]&0x7f)<<14 + int64(head[8]&0x7f)<<7 + int64(head[9]&0x7f)
	}
	var frame [4]byte
	if n, _ := src.ReadAt(frame[:], at); n < len(frame) || frame[0] != 0xff || frame[1]&0xe6 != 0xe2 {
		return 0 // no frame of the third layer
	}
	rates := [16]int64{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320}
	if frame[1]&0x18 != 0x18 { // MPEG-2, at half of the sampling rate
		rates = [16]int64{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160}
	}
	return played(size-at, rates[frame[2]>>4]*1000/8)
}
