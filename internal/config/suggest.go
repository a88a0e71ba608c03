package config

import "strings"

// nearest returns the known key of which an unknown one may be a misspelling, or "".
func nearest(unknown string, known []field) string {
	const longest = 64
	if len(unknown) > longest {
		return ""
	}
	best, bestDistance := "", longest
	for _, f := range known {
		distance := editDistance(foldKey(unknown), foldKey(f.key))
		if distance <= len(f.key)/3 && distance < bestDistance {
			best, bestDistance = f.key, distance
		}
	}
	return best
}

// foldKey removes what people write differently: case, underscores, hyphens and spaces.
func foldKey(key string) string {
	return separators.Replace(strings.ToLower(key))
}

var separators = strings.NewReplacer("_", "", "-", "", " ", "")

// editDistance is the Levenshtein distance: the number of bytes to insert, delete or change.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
