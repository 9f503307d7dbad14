module moorage.dev/tools/podimages

go 1.26.0
