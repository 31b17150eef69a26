"""The benchmarks in one table: where their files lie, how their classes are named, what to expect and how to get them.

The folders are those of CoOp's DATASETS.md (KaiyangZhou/CoOp on GitHub), the templates those of its zero-shot CLIP (trainers/zsclip.py),
the counts those of its appendix and of the split files; links and MD5 sums are torchvision's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Archive:
    """A file to download into a dataset's folder; archives are unpacked there."""

    url: str
    md5: str | None = None  # None: its publisher gives no checksum
    strip: int = 0  # leading folders of the archive's own to leave out
    inner: str = ""  # an archive inside it, to be unpacked, too


@dataclass(frozen=True)
class Dataset:
    """One row of the table."""

    name: str  # what the commands call it
    title: str
    kind: str  # "classes": to learn from; "ood": none of ImageNet's classes; "shift": ImageNet's classes, other pictures
    folder: str  # below the root
    images: str  # below the folder; split files name their images from here
    classes: int
    counts: tuple[int, ...]  # train, validation, test of the community's split; or all images
    licence: str
    get: str  # the page to get it from, by its title
    split: str = ""  # the community's split file; "": the official split is the one in use
    official: str = "folders"  # how splits.py reads the official split
    files: tuple[str, ...] = ()  # what the official split is read from
    official_counts: tuple[int, ...] | None = None  # where the official split's differ
    template: str = "a photo of a {}."
    rename: Mapping[str, str] = field(default_factory=dict)  # class folder -> class name
    ignored: tuple[str, ...] = ()  # folders that are no classes
    also: tuple[str, ...] = ()  # other places of the folder
    archives: tuple[Archive, ...] = ()
    dead: str = ""  # links that are known not to work any more

    def find(self, root: str | Path) -> Path | None:
        """The dataset's folder below ``root``, or None."""
        return next(
            (
                p
                for p in (Path(root) / f for f in (self.folder, *self.also))
                if (p / self.images).is_dir()
            ),
            None,
        )


VGG = "https://www.robots.ox.ac.uk/~vgg/data"
RESEARCH = "non-commercial research"
MOS = (
    "the README of deeplearning-wisc/large_scale_ood on GitHub (Huang & Li, MOS, CVPR 2021) links {0}; "
    "unpack it so that the pictures lie in {1}"
)

ROWS = (
    Dataset(
        "imagenet",
        "ImageNet (ILSVRC 2012)",
        "classes",
        "imagenet",
        "images",
        1000,
        (1281167, 0, 50000),
        RESEARCH,
        "image-net.org, after registration: 'Download', ILSVRC 2012, Task 1 & 2. Unpack to images/train/<wnid> and images/val/<wnid>, "
        "and put classnames.txt, linked in CoOp's DATASETS.md, beside images",
        official="imagenet",
        files=("classnames.txt",),
        rename={"n04008634": "projectile", "n04355933": "sunglass"},
    ),
    Dataset(
        "caltech101",
        "Caltech-101",
        "classes",
        "caltech-101",
        "101_ObjectCategories",
        100,
        (4128, 1649, 2465),
        "CC BY 4.0",
        "CaltechDATA, 'Caltech 101'",
        split="split_zhou_Caltech101.json",
        also=("caltech101",),
        rename={
            "airplanes": "airplane",
            "Faces": "face",
            "Leopards": "leopard",
            "Motorbikes": "motorbike",
        },
        ignored=("BACKGROUND_Google", "Faces_easy"),
        archives=(
            Archive(
                "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip",
                "3138e1922a9193bfa496528edbbc45d0",
                strip=1,
                inner="101_ObjectCategories.tar.gz",
            ),
        ),
        dead="www.vision.caltech.edu/Image_Datasets/Caltech101 and the Google Drive copies",
    ),
    Dataset(
        "oxford_pets",
        "Oxford-IIIT Pet",
        "classes",
        "oxford_pets",
        "images",
        37,
        (2944, 736, 3669),
        "CC BY-SA 4.0",
        "the Visual Geometry Group's page 'The Oxford-IIIT Pet Dataset'",
        split="split_zhou_OxfordPets.json",
        official="pets",
        files=("annotations/trainval.txt", "annotations/test.txt"),
        template="a photo of a {}, a type of pet.",
        archives=(
            Archive(f"{VGG}/pets/data/images.tar.gz", "5c4f3ee8e5d25df40f4fd59a7f44e54c"),
            Archive(f"{VGG}/pets/data/annotations.tar.gz", "95a8c909bbe2e81eed6a22bccdf3f68f"),
        ),
    ),
    Dataset(
        "stanford_cars",
        "Stanford Cars",
        "classes",
        "stanford_cars",
        ".",
        196,
        (6509, 1635, 8041),
        "not stated",
        "pytorch/vision issue 7545 on GitHub says where copies are. Needed: cars_train/, cars_test/, and for the official split "
        "devkit/ and cars_test_annos_withlabels.mat",
        split="split_zhou_StanfordCars.json",
        official="cars",
        files=(
            "devkit/cars_meta.mat",
            "devkit/cars_train_annos.mat",
            "cars_test_annos_withlabels.mat",
        ),
        dead="all of ai.stanford.edu/~jkrause",
    ),
    Dataset(
        "oxford_flowers",
        "Flowers-102",
        "classes",
        "oxford_flowers",
        "jpg",
        102,
        (4093, 1633, 2463),
        "not stated",
        "the Visual Geometry Group's page '102 Category Flower Dataset'",
        split="split_zhou_OxfordFlowers.json",
        official="flowers",
        files=("imagelabels.mat", "setid.mat"),
        official_counts=(1020, 1020, 6149),
        template="a photo of a {}, a type of flower.",
        archives=(
            Archive(f"{VGG}/flowers/102/102flowers.tgz", "52808999861908f626f3c1f4e79d11fa"),
            Archive(f"{VGG}/flowers/102/imagelabels.mat", "e0620be6f572b9609742df49c70aed4d"),
            Archive(f"{VGG}/flowers/102/setid.mat", "a5357ecc9cb78c4bef273ce3793fc85c"),
        ),
    ),
    Dataset(
        "food101",
        "Food-101",
        "classes",
        "food-101",
        "images",
        101,
        (50500, 20200, 30300),
        "scientific fair use",
        "ETH Zurich's page 'Food-101 -- Mining Discriminative Components with Random Forests'",
        split="split_zhou_Food101.json",
        official="food",
        files=("meta/train.txt", "meta/test.txt"),
        official_counts=(60600, 15150, 25250),
        template="a photo of {}, a type of food.",
        archives=(
            Archive(
                "http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz",
                "85eeb15f3717b99a5da872d97d918f87",
                strip=1,
            ),
        ),
    ),
    Dataset(
        "fgvc_aircraft",
        "FGVC-Aircraft",
        "classes",
        "fgvc_aircraft",
        "images",
        100,
        (3334, 3333, 3333),
        RESEARCH,
        "the Visual Geometry Group's page 'Fine-Grained Visual Classification of Aircraft'",
        official="aircraft",
        files=(
            "variants.txt",
            "images_variant_train.txt",
            "images_variant_val.txt",
            "images_variant_test.txt",
        ),
        also=("fgvc_aircraft/data", "fgvc-aircraft-2013b/data"),
        template="a photo of a {}, a type of aircraft.",
        archives=(Archive(f"{VGG}/fgvc-aircraft/archives/fgvc-aircraft-2013b.tar.gz", strip=2),),
    ),
    Dataset(
        "sun397",
        "SUN397",
        "classes",
        "sun397",
        "SUN397",
        397,
        (15880, 3970, 19850),
        "not stated",
        "the project page 'SUN Database: Scene Categorization Benchmark' (SUN397.tar.gz and Partitions.zip), if it is back",
        split="split_zhou_SUN397.json",
        official="sun",
        files=("ClassName.txt", "Training_01.txt", "Testing_01.txt"),
        dead="vision.princeton.edu/projects/2010/SUN (404 since 2025: pytorch/vision issue 9348)",
    ),
    Dataset(
        "dtd",
        "Describable Textures (DTD)",
        "classes",
        "dtd",
        "images",
        47,
        (2820, 1128, 1692),
        "research",
        "the Visual Geometry Group's page 'Describable Textures Dataset'",
        split="split_zhou_DescribableTextures.json",
        official="dtd",
        files=("labels/train1.txt", "labels/val1.txt", "labels/test1.txt"),
        official_counts=(1880, 1880, 1880),
        template="{} texture.",
        archives=(
            Archive(
                f"{VGG}/dtd/download/dtd-r1.0.1.tar.gz", "fff73e5086ae6bdbea199a49dfb8a4c1", strip=1
            ),
        ),
    ),
    Dataset(
        "eurosat",
        "EuroSAT (RGB)",
        "classes",
        "eurosat",
        "2750",
        10,
        (13500, 5400, 8100),
        "MIT",
        "phelber/EuroSAT on GitHub",
        split="split_zhou_EuroSAT.json",
        template="a centered satellite photo of {}.",
        rename={
            "AnnualCrop": "Annual Crop Land",
            "HerbaceousVegetation": "Herbaceous Vegetation Land",
            "Highway": "Highway or Road",
            "Industrial": "Industrial Buildings",
            "Pasture": "Pasture Land",
            "PermanentCrop": "Permanent Crop Land",
            "Residential": "Residential Buildings",
            "SeaLake": "Sea or Lake",
        },
        archives=(
            Archive(
                "https://huggingface.co/datasets/torchgeo/eurosat/resolve/c877bcd43f099cd0196738f714544e355477f3fd/"
                "EuroSAT.zip",
                "c8fa014336c82ac7804f0398fcb19387",
            ),
        ),
        dead="madm.dfki.de (its certificate has expired)",
    ),
    Dataset(
        "ucf101",
        "UCF-101 (middle frames)",
        "classes",
        "ucf101",
        "UCF-101-midframes",
        101,
        (7639, 1898, 3783),
        "not stated",
        "CoOp's DATASETS.md links UCF-101-midframes.zip; the official lists are on the University of Central Florida's page "
        "'UCF101 - Action Recognition Data Set'",
        split="split_zhou_UCF101.json",
        official="ucf",
        template="a photo of a person doing {}.",
        files=(
            "ucfTrainTestlist/classInd.txt",
            "ucfTrainTestlist/trainlist01.txt",
            "ucfTrainTestlist/testlist01.txt",
        ),
    ),
    Dataset(
        "inaturalist",
        "iNaturalist (MOS subset)",
        "ood",
        "iNaturalist",
        "images",
        0,
        (10000,),
        RESEARCH,
        MOS.format("iNaturalist.tar.gz", "iNaturalist/images"),
    ),
    Dataset(
        "sun",
        "SUN (MOS subset)",
        "ood",
        "SUN",
        "images",
        0,
        (10000,),
        "not stated",
        MOS.format("SUN.tar.gz", "SUN/images"),
    ),
    Dataset(
        "places",
        "Places (MOS subset)",
        "ood",
        "Places",
        "images",
        0,
        (10000,),
        RESEARCH,
        MOS.format("Places.tar.gz", "Places/images"),
    ),
    Dataset(
        "textures",
        "Textures (all of DTD)",
        "ood",
        "Texture",
        "images",
        0,
        (5640,),
        "research",
        "all of DTD: sotglp data get dtd",
        also=("Textures", "dtd"),
    ),
    Dataset(
        "imagenetv2",
        "ImageNet-V2 (matched frequency)",
        "shift",
        "imagenetv2",
        "imagenetv2-matched-frequency-format-val",
        1000,
        (10000,),
        "as ImageNet",
        "the README of modestyachts/ImageNetV2 on GitHub links imagenetv2-matched-frequency.tar.gz",
        dead="s3-us-west-2.amazonaws.com/imagenetv2public",
    ),
    Dataset(
        "imagenet_sketch",
        "ImageNet-Sketch",
        "shift",
        "imagenet-sketch",
        "images",
        1000,
        (50889,),
        "not stated for the pictures",
        "the README of HaohanWang/ImageNet-Sketch on GitHub; put the 1,000 folders in imagenet-sketch/images",
    ),
    Dataset(
        "imagenet_a",
        "ImageNet-A",
        "shift",
        "imagenet-adversarial",
        "imagenet-a",
        200,
        (7500,),
        "MIT",
        "the README of hendrycks/natural-adv-examples on GitHub links imagenet-a.tar",
    ),
    Dataset(
        "imagenet_r",
        "ImageNet-R",
        "shift",
        "imagenet-rendition",
        "imagenet-r",
        200,
        (30000,),
        "not stated for the pictures",
        "the README of hendrycks/imagenet-r on GitHub links imagenet-r.tar",
    ),
)
CATALOGUE: dict[str, Dataset] = {row.name: row for row in ROWS}


def detect(folder: str | Path) -> Dataset | None:
    """The dataset to learn from whose own folder this is: it has its split file, or its name and all files of its official split."""
    folder = Path(folder)
    for row in ROWS:
        named = folder.name in {Path(place).name for place in (row.folder, *row.also)}
        official = named and row.files and all((folder / file).is_file() for file in row.files)
        if (
            row.kind == "classes"
            and (folder / row.images).is_dir()
            and (official or row.split and (folder / row.split).is_file())
        ):
            return row
    return None
